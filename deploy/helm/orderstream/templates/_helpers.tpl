{{/* The chart's name. */}}
{{- define "orderstream.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The first part of all names: short enough for what is appended. */}}
{{- define "orderstream.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "orderstream.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "orderstream.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "orderstream.controller" -}}{{ include "orderstream.fullname" . }}-controller{{- end -}}
{{- define "orderstream.processor" -}}{{ include "orderstream.fullname" . }}-processor{{- end -}}
{{- define "orderstream.headless" -}}{{ include "orderstream.fullname" . }}-processors{{- end -}}
{{- define "orderstream.requestor" -}}{{ include "orderstream.fullname" . }}-requestor{{- end -}}
{{- define "orderstream.test" -}}{{ include "orderstream.fullname" . }}-test{{- end -}}
{{- define "orderstream.upgrade" -}}{{ include "orderstream.fullname" . }}-upgrade{{- end -}}

{{/* What pods are selected by, for one component: (list . "controller"). */}}
{{- define "orderstream.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ include "orderstream.name" $top }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels of an object of one component: (list . "controller"). */}}
{{- define "orderstream.labels" -}}
{{- $top := index . 0 -}}
{{ include "orderstream.selector" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: orderstream
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" }}
{{- with $top.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "orderstream.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{/* The service account of one component: (list . "controller"). */}}
{{- define "orderstream.serviceAccount" -}}
{{- $top := index . 0 -}}
{{- $account := (index $top.Values (index . 1)).serviceAccount -}}
{{- if $account.create -}}
{{- default (include (printf "orderstream.%s" (index . 1)) $top) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{/* The one namespace whose order requests are kept; empty for all. */}}
{{- define "orderstream.watched" -}}
{{- if eq .Values.scope "namespace" -}}
{{- default .Release.Namespace .Values.watchNamespace -}}
{{- end -}}
{{- end -}}

{{- define "orderstream.sellersFromCluster" -}}
{{- if not (or .Values.processor.sellers .Values.processor.sellersConfigMap) }}true{{ end -}}
{{- end -}}
{{- define "orderstream.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "orderstream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* How a container logs. */}}
{{- define "orderstream.logging" -}}
- {name: ORDERSTREAM_LOG_FORMAT, value: {{ .Values.log.format | quote }}}
{{- with .Values.log.filter }}
- {name: ORDERSTREAM_LOG, value: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* Where and how the pods of one component run: (list . "controller"). */}}
{{- define "orderstream.placement" -}}
{{- $top := index . 0 -}}
{{- $values := index $top.Values (index . 1) -}}
{{- with $top.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "orderstream.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* Probes on the metrics port; a start may read a large journal. */}}
{{- define "orderstream.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}

{{- define "orderstream.upgradeHook" -}}
helm.sh/hook: pre-upgrade
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "orderstream.testHook" -}}
helm.sh/hook: test
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* The keys of the Secret that notifications need, as JSON. */}}
{{- define "orderstream.notificationSecrets" -}}
{{- $wanted := .Values.notifications -}}
{{- $keys := concat $wanted.webhook.secretKeys (list $wanted.smtp.passwordKey $wanted.smtp.caKey) -}}
{{- range $key := $wanted.sms.secretHeaders }}{{ $keys = append $keys $key }}{{ end -}}
{{- compact $keys | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* What `--notify-config` reads: all of notifications that is no secret. */}}
{{- define "orderstream.notifyConfig" -}}
{{- $wanted := .Values.notifications -}}
{{- $secret := "/etc/orderstream-notification-secrets/%s" -}}
{{- $files := list -}}
{{- range $wanted.webhook.secretKeys }}{{ $files = append $files (printf $secret .) }}{{ end -}}
{{- $config := dict "webhook" (dict "secret-files" $files "allow-local" $wanted.webhook.allowLocal) -}}
{{- with $wanted.smtp }}
{{- if .url }}
{{- $smtp := dict "url" .url "from" .from -}}
{{- with .passwordKey }}{{ $_ := set $smtp "password-file" (printf $secret .) }}{{ end -}}
{{- with .caKey }}{{ $_ := set $smtp "ca-file" (printf $secret .) }}{{ end -}}
{{- $_ := set $config "smtp" $smtp -}}
{{- end }}
{{- end }}
{{- with $wanted.sms }}
{{- if .url }}
{{- $files := dict -}}
{{- range $header, $key := .secretHeaders }}{{ $_ := set $files $header (printf $secret $key) }}{{ end -}}
{{- $sms := dict "url" .url "method" .method "headers" .headers "header-files" $files "body" .body -}}
{{- $_ := set $config "sms" $sms -}}
{{- end }}
{{- end }}
{{- with $wanted.sinks }}{{ $_ := set $config "sinks" . }}{{ end -}}
{{- if $wanted.templatesConfigMaps }}{{ $_ := set $config "templates" "/etc/orderstream-templates" }}{{ end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The port of a URL. */}}
{{- define "orderstream.portOf" -}}
{{- $url := urlParse . -}}
{{- $given := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $usual := dict "http" "80" "https" "443" "nats" "4222" "smtps" "465" "smtp" "587" -}}
{{- if contains "tls=none" $url.query }}{{ $_ := set $usual "smtp" "25" }}{{ end -}}
{{- default (get $usual $url.scheme) $given -}}
{{- end -}}

{{/* Ports of a network policy's rule, from a list of numbers, as JSON. */}}
{{- define "orderstream.ports" -}}
{{- $numbers := list -}}
{{- range . }}{{ $numbers = append $numbers (int .) }}{{ end -}}
{{- $ports := list -}}
{{- range uniq $numbers }}{{ $ports = append $ports (dict "protocol" "TCP" "port" .) }}{{ end -}}
{{- toJson $ports -}}
{{- end -}}

{{/* Peers of a network policy's rule: those that are given, or all but what only a node or its link
     should reach. Some network plugins count pods to no block of addresses. */}}
{{- define "orderstream.reachable" -}}
{{- if . -}}
{{ toYaml . }}
{{- else -}}
- ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
- ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::254/128"]}
- namespaceSelector: {}
{{- end -}}
{{- end -}}
