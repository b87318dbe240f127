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
