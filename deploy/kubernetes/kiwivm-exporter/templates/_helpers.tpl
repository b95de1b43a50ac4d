{{- define "kiwivm-exporter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* Pods of a StatefulSet have a label with its name and 11 more characters, at most 63 in total. */}}
{{- define "kiwivm-exporter.fullname" -}}
{{- $name := include "kiwivm-exporter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* An existing Service cannot become headless, so the Service for shards has another name. */}}
{{- define "kiwivm-exporter.serviceName" -}}
{{- include "kiwivm-exporter.fullname" . -}}{{- if gt (int .Values.shards) 1 -}}-shards{{- end -}}
{{- end -}}

{{/* The route prefix that the exporter derives from its flags: empty, or /prefix. */}}
{{- define "kiwivm-exporter.routePrefix" -}}
{{- with .Values.web.routePrefix | default (urlParse .Values.web.externalUrl).path | trimAll "/" -}}/{{ . }}{{- end -}}
{{- end -}}

{{/* The prefix flags of the exporter and its health checks. */}}
{{- define "kiwivm-exporter.pathFlags" -}}
{{- with .Values.web.externalUrl }}
- --web.external-url={{ . }}
{{- end }}
{{- with .Values.web.routePrefix }}
- --web.route-prefix={{ . }}
{{- end }}
{{- end -}}

{{- define "kiwivm-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "kiwivm-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kiwivm-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "kiwivm-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Labels of the test pod. They differ from the selector labels, so that the Service does not select it. */}}
{{- define "kiwivm-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "kiwivm-exporter.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kiwivm-exporter.image" -}}
{{- with .Values.image -}}
{{- .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* config.yaml. Every VPS has an api_key_file. */}}
{{- define "kiwivm-exporter.config" -}}
{{- $vps := list -}}
{{- range .Values.config.vps -}}
{{- $file := dict "api_key_file" (printf "%s.key" (include "kiwivm-exporter.vpsName" .)) -}}
{{- $vps = append $vps (mergeOverwrite $file (deepCopy .)) -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) (dict "vps" $vps) | toYaml -}}
{{- end -}}

{{- define "kiwivm-exporter.vpsName" -}}
{{- .name | default (.veid | int64 | toString) -}}
{{- end -}}

{{- define "kiwivm-exporter.keysSecret" -}}
{{- .Values.existingSecret | default (printf "%s-keys" (include "kiwivm-exporter.fullname" .)) -}}
{{- end -}}

{{/* Rejects invalid values that the schema cannot detect, with a message. */}}
{{- define "kiwivm-exporter.check" -}}
{{- range $name := list "replicas" "replicaCount" -}}
{{- if and (hasKey $.Values $name) (ne (index $.Values $name | int) 1) -}}
{{- fail (printf "%s must be 1: two exporters of the same VPSes would spend the API points twice. To divide the VPSes among exporters, set shards" $name) -}}
{{- end -}}
{{- end -}}
{{- $sharded := gt (int .Values.shards) 1 -}}
{{- if and $sharded .Values.demo -}}
{{- fail "demo has no shards: leave one of them out" -}}
{{- end -}}
{{- if and $sharded .Values.persistence.existingClaim -}}
{{- fail "persistence.existingClaim is for one exporter: leave it out, and each of the shards gets a claim of its own" -}}
{{- end -}}
{{- if not .Values.demo -}}
{{- if not .Values.config.vps -}}
{{- fail "config.vps is empty: add a VPS with name and veid, and its key under keys or in existingSecret. For a look without an account, set demo=true" -}}
{{- end -}}
{{- if and .Values.persistence.enabled (not .Values.config.state_file) -}}
{{- fail "persistence.enabled needs config.state_file: there is nothing to keep without it" -}}
{{- end -}}
{{- include "kiwivm-exporter.checkKeys" . -}}
{{- end -}}
{{- end -}}

{{- define "kiwivm-exporter.checkKeys" -}}
{{- if and .Values.keys .Values.existingSecret -}}
{{- fail "keys and existingSecret are both set: leave one of them out" -}}
{{- end -}}
{{- $wanted := list -}}
{{- range .Values.config.vps -}}
{{- $name := include "kiwivm-exporter.vpsName" . -}}
{{- if hasKey . "api_key" -}}
{{- fail (printf "VPS %s has api_key: keys belong into a Secret. Move it to keys, or to a Secret that existingSecret names" $name) -}}
{{- end -}}
{{- $file := .api_key_file | default (printf "%s.key" $name) -}}
{{- if not (isAbs $file) -}}
{{- if not (regexMatch "^[-._a-zA-Z0-9]+$" $file) -}}
{{- fail (printf "VPS %s: a Secret cannot have a file %q. Set api_key_file to a name of letters, digits, dots, dashes and underscores" $name $file) -}}
{{- end -}}
{{- $wanted = append $wanted $file -}}
{{- if not (or $.Values.existingSecret (hasKey $.Values.keys (trimSuffix ".key" $file))) -}}
{{- fail (printf "VPS %s has no key: add %s to keys, or set existingSecret to a Secret with the file %s" $name (trimSuffix ".key" $file) $file) -}}
{{- end -}}
{{- if not (or $.Values.existingSecret (hasSuffix ".key" $file)) -}}
{{- fail (printf "VPS %s: keys become files that end in .key. Set api_key_file to %s.key, or use existingSecret" $name $file) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.keys -}}
{{- if not (has (printf "%s.key" $name) $wanted) -}}
{{- fail (printf "keys.%s is the key of no VPS: no VPS in config.vps has this name or the api_key_file %s.key" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
