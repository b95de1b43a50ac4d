{{/* The pod of the Deployment and of the StatefulSet. */}}
{{- define "kiwivm-exporter.pod" -}}
{{- include "kiwivm-exporter.check" . -}}
{{- $sharded := gt (int .Values.shards) 1 -}}
{{- $webConfig := printf "--web.config.file=/etc/kiwivm/web/%s" .Values.web.configFile -}}
metadata:
  {{- /* Keys have no checksum, because the exporter reads their files again when the API refuses them. */}}
  {{- $annotations := dict }}
  {{- if not .Values.demo }}
  {{- $_ := set $annotations "checksum/config" (include "kiwivm-exporter.config" . | sha256sum) }}
  {{- end }}
  {{- with mergeOverwrite $annotations .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  labels:
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "kiwivm-exporter.labels" . | nindent 4 }}
spec:
  automountServiceAccountToken: false
  # The environment variables of a Service with this name would look like the exporter's configuration.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.serviceAccountName }}
  serviceAccountName: {{ . }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  containers:
    - name: kiwivm-exporter
      image: {{ include "kiwivm-exporter.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- if .Values.demo }}
        - --demo
        - --web.listen-address=:10064
        {{- else }}
        - --config.file=/etc/kiwivm/config/config.yaml
        {{- end }}
        {{- if .Values.web.existingSecret }}
        - {{ $webConfig }}
        {{- end }}
        {{- with include "kiwivm-exporter.pathFlags" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if $sharded }}
        - --total-shards={{ .Values.shards }}
        - --shard=$(POD_NAME)
        {{- end }}
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      {{- if or $sharded (not .Values.demo) .Values.extraEnv }}
      env:
        {{- if not .Values.demo }}
        - name: CREDENTIALS_DIRECTORY
          value: /etc/kiwivm/keys
        - name: STATE_DIRECTORY
          value: /var/lib/kiwivm_exporter
        {{- end }}
        {{- if $sharded }}
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: 10064
      {{- if .Values.web.existingSecret }}
      # The web configuration protects all paths, and kubelet has no password or certificate for it.
      {{- $paths := include "kiwivm-exporter.pathFlags" . | trim | fromYamlArray }}
      {{- $healthcheck := concat (list "kiwivm_exporter" "healthcheck" $webConfig) $paths }}
      {{- $exec := dict "exec" (dict "command" $healthcheck) }}
      {{- include "kiwivm-exporter.probes" (dict "healthy" $exec "ready" $exec) | nindent 6 }}
      {{- else }}
      {{- $prefix := include "kiwivm-exporter.routePrefix" . }}
      {{- $healthy := dict "httpGet" (dict "path" (printf "%s/-/healthy" $prefix) "port" "metrics") }}
      {{- $ready := dict "httpGet" (dict "path" (printf "%s/-/ready" $prefix) "port" "metrics") }}
      {{- include "kiwivm-exporter.probes" (dict "healthy" $healthy "ready" $ready) | nindent 6 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      {{- $mounts := list }}
      {{- if not .Values.demo }}
      {{- $mounts = append $mounts (dict "name" "config" "mountPath" "/etc/kiwivm/config" "readOnly" true) }}
      {{- $mounts = append $mounts (dict "name" "keys" "mountPath" "/etc/kiwivm/keys" "readOnly" true) }}
      {{- $mounts = append $mounts (dict "name" "state" "mountPath" "/var/lib/kiwivm_exporter") }}
      {{- end }}
      {{- if .Values.web.existingSecret }}
      {{- $mounts = append $mounts (dict "name" "web" "mountPath" "/etc/kiwivm/web" "readOnly" true) }}
      {{- end }}
      {{- with concat $mounts .Values.extraVolumeMounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- if or (not .Values.demo) .Values.web.existingSecret .Values.extraVolumes }}
  volumes:
    {{- if not .Values.demo }}
    - name: config
      configMap:
        name: {{ include "kiwivm-exporter.fullname" . }}
    - name: keys
      secret:
        secretName: {{ include "kiwivm-exporter.keysSecret" . }}
        # 0440. With fsGroup only the exporter can read it.
        defaultMode: 288
        {{- if not (or .Values.keys .Values.existingSecret) }}
        # Not needed if all keys are elsewhere.
        optional: true
        {{- end }}
    {{- if not .Values.persistence.enabled }}
    - name: state
      emptyDir: {}
    {{- else if not $sharded }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim | default (include "kiwivm-exporter.fullname" .) }}
    {{- end }}
    {{- end }}
    {{- with .Values.web.existingSecret }}
    - name: web
      secret:
        secretName: {{ . }}
        defaultMode: 288
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "kiwivm-exporter.probes" -}}
startupProbe:
  {{- toYaml .healthy | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 6
  failureThreshold: 15
livenessProbe:
  {{- toYaml .healthy | nindent 2 }}
  periodSeconds: 15
  timeoutSeconds: 6
readinessProbe:
  {{- toYaml .ready | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 6
{{- end -}}
