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

{{/* Egress to DNS and, if asked for, to the API server: (list . true). */}}
{{- define "orderstream.egress" -}}
{{- $policy := (index . 0).Values.networkPolicy -}}
{{- $dns := list -}}
{{- range $port := $policy.dnsPorts }}
{{- range $protocol := list "UDP" "TCP" }}{{ $dns = append $dns (dict "protocol" $protocol "port" (int $port)) }}{{ end -}}
{{- end -}}
- ports: {{ toJson $dns }}
  {{- with $policy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if index . 1 }}
- ports: {{ include "orderstream.ports" $policy.apiServerPorts }}
  {{- with $policy.apiServerTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
