{{/* Security context of the pods of one component: (list . "controller"). On OpenShift without the
     chart's own ids: the platform assigns some, and refuses others. */}}
{{- define "orderstream.podSecurity" -}}
{{- $top := index . 0 -}}
{{- $given := default dict (index $top.Values (index . 1)).podSecurityContext -}}
{{- $context := dict -}}
{{- range $key, $value := $given -}}
{{- $isOurs := and (has $key (list "runAsUser" "runAsGroup" "fsGroup")) (eq (toString $value) "65532") -}}
{{- if not (or (kindIs "invalid" $value) (and $top.Values.openshift $isOurs)) }}{{ $_ := set $context $key $value }}{{ end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "orderstream.containerSecurity" -}}
{{- default dict (index (index . 0).Values (index . 1)).containerSecurityContext | toYaml -}}
{{- end -}}

{{/* How a container logs. */}}
{{- define "orderstream.logging" -}}
- {name: ORDERSTREAM_LOG_FORMAT, value: {{ .Values.log.format | quote }}}
{{- with .Values.log.filter }}
- {name: ORDERSTREAM_LOG, value: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* The address of one port, if one is given: (list . 8005). */}}
{{- define "orderstream.listen" -}}
{{- with (index . 0).Values.network.listenAddress -}}
{{- if contains ":" . }}[{{ . }}]{{ else }}{{ . }}{{ end }}:{{ index $ 1 }}
{{- end -}}
{{- end -}}

{{/* Where the pods of one component run, and whose secrets they are pulled with: (list . "controller").
     A hook's pod runs where the processors do unless it has values of its own. */}}
{{- define "orderstream.placement" -}}
{{- $top := index . 0 -}}
{{- $values := index $top.Values (index . 1) -}}
{{- $processor := $top.Values.processor -}}
{{- with concat (default list $top.Values.imagePullSecrets) (default list $top.Values.global.imagePullSecrets) | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $field := list "priorityClassName" "runtimeClassName" "nodeSelector" "tolerations" }}
{{- $value := index $values $field }}
{{- if has (index $ 1) (list "upgradeCheck" "tests") }}
{{- if not $value }}{{ $value = index $processor $field }}{{ else if eq $field "nodeSelector" }}{{ $value = merge (dict) $value (dict "kubernetes.io/os" "linux") }}{{ end }}
{{- end }}
{{- with $value }}
{{ $field }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- tpl (toYaml .) $top | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What only the pods that stay have: (list . "controller"). */}}
{{- define "orderstream.placementOfReplicas" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- range $field := list "schedulerName" "hostAliases" "dnsPolicy" "dnsConfig" "initContainers" }}
{{- with index $values $field }}
{{ $field }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
topologySpreadConstraints:
{{- $selector := dict "labelSelector" (dict "matchLabels" (include "orderstream.selector" . | fromYaml)) }}
{{- if $values.topologySpreadConstraints }}
  {{- range $values.topologySpreadConstraints }}
  - {{- ternary . (merge (dict) . $selector) (hasKey . "labelSelector") | toYaml | nindent 4 }}
  {{- end }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "orderstream.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* Probes on the metrics port: (list . "controller"). */}}
{{- define "orderstream.probes" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- range $probe, $path := dict "startupProbe" "/healthz" "livenessProbe" "/healthz" "readinessProbe" "/readyz" }}
{{- with index $values $probe }}
{{ $probe }}:
  {{- merge (dict "httpGet" (dict "path" $path "port" "metrics")) . | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether there are authorities besides the public ones. */}}
{{- define "orderstream.authorities" -}}
{{- with .Values.caBundle }}{{ if or .configMap .secret }}true{{ end }}{{ end -}}
{{- end -}}

{{/* The argument that names the authorities besides the public ones: the one file, or the folder of all. */}}
{{- define "orderstream.authoritiesArgument" -}}
--ca-bundle=/etc/orderstream-ca{{ with .Values.caBundle.key }}/ca.pem{{ end }}
{{- end -}}

{{/* Whether there is an HTTP proxy. */}}
{{- define "orderstream.proxied" -}}
{{- with .Values.proxy }}{{ if or .http .https .existingSecret }}true{{ end }}{{ end -}}
{{- end -}}

{{/* What is called without the proxy. Neither gRPC and REST between the pods nor the client of the API
     server use it, whatever is here: in a pod kube-rs (5.0) takes KUBERNETES_SERVICE_HOST, which is an
     address, and never a proxy. The cluster's names are for notifications to programs inside it, and the
     address, which the kubelet fills in, is for a client that would read the variables. */}}
{{- define "orderstream.noProxy" -}}
localhost,127.0.0.1,::1,.svc,.svc.cluster.local,kubernetes.default,$(KUBERNETES_SERVICE_HOST)
{{- with .Values.proxy.noProxy }},{{ . }}{{ end -}}
{{- end -}}

{{/* Variables of the HTTP proxy, in both spellings. */}}
{{- define "orderstream.proxyVariables" -}}
{{- $proxy := .Values.proxy -}}
{{- range $key, $variable := dict "http" "HTTP_PROXY" "https" "HTTPS_PROXY" }}
{{- range $name := list $variable (lower $variable) }}
{{- if $proxy.existingSecret }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ quote $proxy.existingSecret }}, key: {{ $key }}, optional: true}}
{{- else if index $proxy $key }}
- {name: {{ $name }}, value: {{ index $proxy $key | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- range $name := list "NO_PROXY" "no_proxy" }}
- {name: {{ $name }}, value: {{ include "orderstream.noProxy" $ | quote }}}
{{- end }}
{{- end -}}

{{/* The volume of the authorities besides the public ones. */}}
{{- define "orderstream.authoritiesVolume" -}}
{{- with .Values.caBundle }}
{{- $items := dict }}
{{- with .key }}{{ $items = dict "items" (list (dict "key" . "path" "ca.pem")) }}{{ end }}
{{- if .configMap }}
- name: ca-bundle
  configMap:
    {{- merge (dict "name" .configMap) $items | toYaml | nindent 4 }}
{{- else if .secret }}
- name: ca-bundle
  secret:
    {{- merge (dict "secretName" .secret "defaultMode" 288) $items | toYaml | nindent 4 }}
{{- end }}
{{- end }}
{{- end -}}
