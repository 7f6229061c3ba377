{{- define "pawl.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains "pawl" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-pawl" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pawl.selector" -}}
app.kubernetes.io/name: pawl
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "pawl.labels" -}}
app.kubernetes.io/name: pawl
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The name of the Secret. A hook runs before the chart's own Secret exists, and so has another one. */}}
{{- define "pawl.secret" -}}
{{- .Values.secret.existing | default (include "pawl.name" .) -}}
{{- end -}}
{{- define "pawl.initSecret" -}}
{{- .Values.secret.existing | default (printf "%s-init" (include "pawl.name" .)) -}}
{{- end -}}

{{- define "pawl.secretData" -}}
{{- if eq .Values.store "postgres" }}
store: {{ required "secret.store or secret.existing is required: the address of the database" .Values.secret.store | b64enc }}
{{- end }}
master-key: {{ required "secret.masterKey or secret.existing is required: openssl rand -base64 32" .Values.secret.masterKey | b64enc }}
{{- end -}}
{{- define "pawl.adminPassword" -}}
admin-password: {{ required "secret.adminPassword or secret.existing is required" .Values.secret.adminPassword | b64enc }}
{{- end -}}

{{/* The variables of a container. "secret" is the name of its Secret. */}}
{{- define "pawl.env" -}}
{{- $root := .root -}}
{{- if eq $root.Values.store "postgres" -}}
- name: PAWL_STORE
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: store}}
{{- else -}}
# A folder in the volume, because Pawl gives its folder the mode 0700.
- name: PAWL_DATA
  value: /data/pawl
{{- end }}
- name: PAWL_MASTER_KEY_FILE
  value: /etc/pawl/secret/master-key
{{- range $name, $value := $root.Values.settings }}
- name: PAWL_{{ $name | upper | replace "-" "_" }}
  value: {{ if kindIs "slice" $value }}{{ join "," $value | quote }}{{ else if kindIs "string" $value }}{{ $value | quote }}{{ else }}{{ $value | toJson | quote }}{{ end }}
{{- end }}
{{- with $root.Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "pawl.init" -}}
{{- $root := .root -}}
name: init
image: {{ include "pawl.image" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
# Succeeds if there is an administrator already, so it can run again. It prints no secret.
args:
  - init
  - --login={{ required "admin.login is required: a mail address" $root.Values.admin.login }}
  - --password-file=/etc/pawl/init/admin-password
  - --if-missing
env:
  {{- include "pawl.env" . | nindent 2 }}
volumeMounts:
  {{- include "pawl.mounts" $root | nindent 2 }}
  - {name: init, mountPath: /etc/pawl/init, readOnly: true}
{{ include "pawl.containerSecurity" $root }}
resources:
  {{- toYaml $root.Values.resources | nindent 2 }}
{{- end -}}

{{- define "pawl.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- end -}}

{{- define "pawl.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "pawl.mounts" -}}
- {name: secret, mountPath: /etc/pawl/secret, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if eq .Values.store "sqlite" }}
- {name: data, mountPath: /data}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The volumes of a pod. "secret" is the name of its Secret. */}}
{{- define "pawl.volumes" -}}
- name: secret
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items: [{key: master-key, path: master-key}]
# SQLite sorts here what does not fit into memory.
- name: tmp
  emptyDir: {}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The password of the administrator. It may be removed from an existing Secret once there is an administrator. */}}
{{- define "pawl.initVolume" -}}
- name: init
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    optional: true
    items: [{key: admin-password, path: admin-password}]
{{- end -}}

{{/* What each pod has. */}}
{{- define "pawl.pod" -}}
# Kubernetes adds variables for each Service, and those of a Service named pawl begin with PAWL_. Pawl needs none.
enableServiceLinks: false
automountServiceAccountToken: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The template of a pod with the server. */}}
{{- define "pawl.serverTemplate" -}}
{{- $secrets := dict "root" . "secret" (include "pawl.secret" .) -}}
metadata:
  labels:
    {{- include "pawl.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- if not .Values.secret.existing }}
    checksum/secret: {{ include "pawl.secretData" . | sha256sum }}
    {{- end }}
    kubectl.kubernetes.io/default-container: pawl
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "pawl.pod" . | nindent 2 }}
  # preStopSeconds, at most 10 for the drain, and some to spare.
  terminationGracePeriodSeconds: {{ add .Values.preStopSeconds 15 }}
  {{- if eq .Values.store "sqlite" }}
  initContainers:
    - {{ include "pawl.init" $secrets | indent 6 | trim }}
  {{- else }}
  topologySpreadConstraints:
    {{- if kindIs "slice" .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "pawl.selector" $ | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
    {{- end }}
  {{- end }}
  containers:
    - name: pawl
      image: {{ include "pawl.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        - {name: PAWL_ADDR, value: ":8080"}
        - {name: PAWL_METRICS_ADDR, value: ":9100"}
        {{- if .Values.tls.secretName }}
        - {name: PAWL_TLS_CERT, value: /etc/pawl/tls/tls.crt}
        - {name: PAWL_TLS_KEY, value: /etc/pawl/tls/tls.key}
        {{- end }}
        {{- include "pawl.env" $secrets | nindent 8 }}
      ports:
        - {name: http, containerPort: 8080}
        - {name: metrics, containerPort: 9100}
      # The listener of the metrics answers even when clients have taken all connections. Liveness does not depend on
      # the store, because a restart does not mend a database.
      startupProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 2
      lifecycle:
        preStop: {sleep: {seconds: {{ .Values.preStopSeconds }}}}
      volumeMounts:
        {{- include "pawl.mounts" . | nindent 8 }}
        {{- if .Values.tls.secretName }}
        - {name: tls, mountPath: /etc/pawl/tls, readOnly: true}
        {{- end }}
      {{- include "pawl.containerSecurity" . | nindent 6 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
  volumes:
    {{- include "pawl.volumes" $secrets | nindent 4 }}
    {{- if eq .Values.store "sqlite" }}
    {{- include "pawl.initVolume" $secrets | nindent 4 }}
    {{- end }}
    {{- with .Values.tls.secretName }}
    - {name: tls, secret: {secretName: {{ . }}, defaultMode: 0440}}
    {{- end }}
{{- end -}}
