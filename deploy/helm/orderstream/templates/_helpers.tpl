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
{{- define "orderstream.metricsService" -}}{{ include "orderstream.fullname" (index . 0) }}-{{ index . 1 }}-metrics{{- end -}}
{{- define "orderstream.upgrade" -}}{{ include "orderstream.fullname" . }}-upgrade{{- end -}}

{{- define "orderstream.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* What pods are selected by, for one component: (list . "controller"). */}}
{{- define "orderstream.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ include "orderstream.name" $top | quote }}
app.kubernetes.io/instance: {{ $top.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object of one component, and more: (list . "controller" {…}). */}}
{{- define "orderstream.labels" -}}
{{- $top := index . 0 -}}
{{- $labels := include "orderstream.selector" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/version" $top.Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "orderstream" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $top.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_") -}}
{{- merge $labels (default dict (index (append . dict) 2)) $top.Values.commonLabels | toYaml -}}
{{- end -}}

{{/* Labels of the pods of one component, and more. A new version of the chart alone changes none, and
     restarts nothing. */}}
{{- define "orderstream.podLabels" -}}
{{- $labels := include "orderstream.selector" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "orderstream" -}}
{{- merge $labels (default dict (index . 2)) (index . 0).Values.commonLabels | toYaml -}}
{{- end -}}

{{/* Metadata of an object of one component: (list . "controller" "its name"), and labels, annotations
     and a namespace if they are given: (list . "controller" "its name" {…}). */}}
{{- define "orderstream.metadata" -}}
{{- $top := index . 0 -}}
{{- $more := index (append . dict) 3 -}}
{{- $namespace := ternary (get $more "namespace") (include "orderstream.namespace" $top) (hasKey $more "namespace") -}}
name: {{ index . 2 | quote }}
{{- with $namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include "orderstream.labels" (list $top (index . 1) (get $more "labels")) | nindent 2 }}
{{- with merge (dict) (default dict (get $more "annotations")) $top.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The name of the image, with the registry that is given instead of its own. */}}
{{- define "orderstream.image" -}}
{{- $image := .Values.image -}}
{{- $name := $image.repository -}}
{{- with default .Values.global.imageRegistry $image.registry -}}
{{- $first := splitList "/" $name | first -}}
{{- if and (contains "/" $name) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $name = $name | trimPrefix $first | trimPrefix "/" -}}
{{- end -}}
{{- $name = printf "%s/%s" . $name -}}
{{- end -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ default .Chart.AppVersion $image.tag }}
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

{{/* The namespaces whose order requests are kept, with commas between them; empty for all, or all but
     those of exceptNamespaces. */}}
{{- define "orderstream.watched" -}}
{{- if eq .Values.scope "namespace" -}}
{{- join "," .Values.watchNamespaces | default .Values.watchNamespace | default (include "orderstream.namespace" .) -}}
{{- end -}}
{{- end -}}

{{/* The name of a Role and its binding in one of the watched namespaces: (list . "its name" "-orders" "desks").
     In a namespace that is not the release's, another release of the same name may have roles, too, so that
     the release's namespace is in the name; likewise without a namespace, for a ClusterRole. */}}
{{- define "orderstream.roleName" -}}
{{- $namespace := include "orderstream.namespace" (index . 0) -}}
{{- $place := index . 3 -}}
{{- if $place -}}
{{- if ne $place $namespace }}{{ $namespace }}-{{ end }}{{ index . 1 }}{{ index . 2 }}
{{- else -}}
{{ $namespace }}-{{ index . 1 }}
{{- end -}}
{{- end -}}

{{/* The same as the annotation of the controller's Deployment has it: `a,b`, `*` for all, `*,!a,!b` for all but some. */}}
{{- define "orderstream.watchedScope" -}}
{{- $watched := include "orderstream.watched" . -}}
{{- if $watched }}{{ $watched }}{{ else }}*{{ range .Values.exceptNamespaces }},!{{ . }}{{ end }}{{ end -}}
{{- end -}}

{{/* The namespaces that two controllers watch both, as text; empty for none: (list "a,b" "*,!a"). */}}
{{- define "orderstream.sharedNamespaces" -}}
{{- $isAll := true -}}
{{- $only := list -}}
{{- $except := list -}}
{{- range . -}}
{{- $names := splitList "," . -}}
{{- if eq (first $names) "*" -}}
{{- range rest $names }}{{ $except = append $except (trimPrefix "!" .) }}{{ end -}}
{{- else if $isAll -}}
{{- $isAll = false -}}
{{- $only = $names -}}
{{- else -}}
{{- $both := list -}}
{{- range $only }}{{ if has . $names }}{{ $both = append $both . }}{{ end }}{{ end -}}
{{- $only = $both -}}
{{- end -}}
{{- end -}}
{{- $shared := list -}}
{{- range $only }}{{ if not (has . $except) }}{{ $shared = append $shared . }}{{ end }}{{ end -}}
{{- if $isAll -}}
all namespaces{{ with $except }} but {{ uniq . | sortAlpha | join ", " }}{{ end }}
{{- else if $shared -}}
namespace{{ if gt (len $shared) 1 }}s{{ end }} {{ join ", " $shared }}
{{- end -}}
{{- end -}}

{{/* The controllers of other releases that watch a namespace in common with this one's, as a JSON list of
     {release, namespace, name, where}. Without a cluster there are none. A release for some namespaces may not
     be allowed to read others, and sees those in its own and in the watched ones. Controllers of earlier
     versions have no label and no annotation, but the arguments. */}}
{{- define "orderstream.otherControllers" -}}
{{- $watched := include "orderstream.watched" . -}}
{{- $own := include "orderstream.watchedScope" . -}}
{{- $others := list -}}
{{- $namespaces := list "" -}}
{{- if $watched }}{{ $namespaces = splitList "," $watched | concat (list (include "orderstream.namespace" .)) | uniq }}{{ end -}}
{{- range $place := $namespaces -}}
{{- range (lookup "apps/v1" "Deployment" $place "").items -}}
{{- $labels := default dict .metadata.labels -}}
{{- $annotations := default dict .metadata.annotations -}}
{{- $isController := and (eq (dig "app.kubernetes.io/part-of" "" $labels) "orderstream") (eq (dig "app.kubernetes.io/component" "" $labels) "controller") -}}
{{- $release := dig "app.kubernetes.io/instance" .metadata.name $labels -}}
{{- $isOwn := and (eq $release $.Release.Name) (eq (dig "meta.helm.sh/release-namespace" .metadata.namespace $annotations) $.Release.Namespace) -}}
{{- if and $isController (not $isOwn) -}}
{{- $theirs := dig "orderstream.dev/watched-namespaces" "" $annotations -}}
{{- if not $theirs -}}
{{- range default list (first .spec.template.spec.containers).args -}}
{{- if hasPrefix "--namespace=" . }}{{ $theirs = trimPrefix "--namespace=" . }}{{ end -}}
{{- if hasPrefix "--except-namespace=" . }}{{ $theirs = trimPrefix "--except-namespace=" . | replace "," ",!" | printf "*,!%s" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $where := include "orderstream.sharedNamespaces" (list $own (default "*" $theirs)) -}}
{{- if $where -}}
{{- $name := dig "orderstream.dev/controller-name" "orderstream" $labels -}}
{{- $others = append $others (dict "release" $release "namespace" .metadata.namespace "name" $name "where" $where) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $others -}}
{{- end -}}

{{- define "orderstream.sellersFromCluster" -}}
{{- if not (or .Values.processor.sellers .Values.processor.sellersConfigMap) }}true{{ end -}}
{{- end -}}

{{/* The families of a Service. */}}
{{- define "orderstream.families" -}}
{{- with .Values.network.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.network.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* Fields of a Service that its values have: (list . "controller"). */}}
{{- define "orderstream.service" -}}
{{- $service := (index (index . 0).Values (index . 1)).service -}}
type: {{ $service.type }}
{{- range $field := list "loadBalancerClass" "externalTrafficPolicy" "internalTrafficPolicy" "trafficDistribution" }}
{{- with index $service $field }}
{{ $field }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- with $service.loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "orderstream.families" (index . 0) }}
{{- end -}}

{{/* A port of a Service, with the port of the nodes if one is given: (list "rest" 8004 0 "http"). */}}
{{- define "orderstream.servicePort" -}}
name: {{ index . 0 }}
port: {{ int (index . 1) }}
targetPort: {{ index . 0 }}
{{- with int (index . 2) }}
nodePort: {{ . }}
{{- end }}
appProtocol: {{ index . 3 }}
{{- end -}}

{{/* Annotations of a hook before an upgrade and a rollback: (list . "events" "weight"). Argo CD runs it
     before each synchronisation, by its own annotations. */}}
{{- define "orderstream.upgradeHook" -}}
helm.sh/hook: {{ index . 1 }}
helm.sh/hook-weight: {{ index . 2 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
argocd.argoproj.io/hook: PreSync
argocd.argoproj.io/hook-delete-policy: BeforeHookCreation,HookSucceeded
{{- end -}}

{{- define "orderstream.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Bytes of a quantity. The API server shows 1024Mi as 1Gi. */}}
{{- define "orderstream.bytes" -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[A-Za-z]*$" .) | float64) | int64 -}}
{{- end -}}
