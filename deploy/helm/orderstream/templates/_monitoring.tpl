{{/* Groups of alerts with further labels, and without some of them: (list . {labels} [names]). */}}
{{- define "orderstream.ruleGroups" -}}
{{- $labels := index . 1 -}}
{{- $excluded := index . 2 -}}
{{- $groups := list -}}
{{- range $path, $text := (index . 0).Files.Glob "files/alerts/*.yaml" -}}
{{- range $group := (toString $text | fromYaml).groups -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- if $rule.alert }}{{ $_ := set $rule "labels" (merge (dict) $labels (default dict $rule.labels)) }}{{ end -}}
{{- if not (has (default "" $rule.alert) $excluded) }}{{ $rules = append $rules $rule }}{{ end -}}
{{- end -}}
{{- if $rules }}{{ $groups = append $groups (set $group "rules" $rules) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}

{{/* Names of all alerts, as JSON. */}}
{{- define "orderstream.alerts" -}}
{{- $names := list -}}
{{- range $path, $text := .Files.Glob "files/alerts/*.yaml" -}}
{{- range $group := (toString $text | fromYaml).groups -}}
{{- range $group.rules }}{{ with .alert }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* Milliseconds of a duration of Prometheus with one unit. */}}
{{- define "orderstream.milliseconds" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- mul $number (get (dict "ms" 1 "s" 1000 "m" 60000) (regexFind "[a-z]+$" .)) -}}
{{- end -}}
