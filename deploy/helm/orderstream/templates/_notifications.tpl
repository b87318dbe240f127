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
