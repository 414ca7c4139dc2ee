{{- define "turnwise.labels" -}}
app.kubernetes.io/name: turnwise
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "turnwise.pod" -}}
{{- $part := .part }}
{{- with .root }}
metadata:
  labels:
    app.kubernetes.io/name: turnwise
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/component: {{ $part }}
  annotations:
    checksum/sources: {{ .Values.sources | sha256sum }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: turnwise
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [{{ $part | quote }}]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      env:
        - name: TURNWISE_DATABASE_URL_FILE
          value: /run/secrets/turnwise/database-url
        - name: TURNWISE_ADMIN_LISTEN
          value: 0.0.0.0:5755
        - name: TURNWISE_LOG_FORMAT
          value: json
        {{- if eq $part "serve" }}
        - name: TURNWISE_SECRET_KEY_FILE
          value: /run/secrets/turnwise/secret-key
        - name: TURNWISE_LISTEN
          value: 0.0.0.0:5754
        - name: TURNWISE_URL
          value: {{ .Values.url | quote }}
        - name: TURNWISE_TIME_ZONE
          value: {{ .Values.timeZone | quote }}
        - name: TURNWISE_TRUSTED_PROXIES
          value: {{ join "," .Values.trustedProxies | quote }}
        {{- if .Values.firstAdmin }}
        - name: TURNWISE_FIRST_ADMIN
          value: {{ .Values.firstAdmin | quote }}
        {{- end }}
        {{- end }}
        {{- if and .Values.sources (or (eq $part "ingest") (eq (int .Values.ingest.replicas) 0)) }}
        - name: TURNWISE_SOURCES
          value: /etc/turnwise/sources.yaml
        {{- end }}
        {{- range $name, $value := .Values.env }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      ports:
        {{- if eq $part "serve" }}
        - name: http
          containerPort: 5754
        {{- end }}
        - name: admin
          containerPort: 5755
      lifecycle:
        preStop:
          sleep: {seconds: 5} # until no balancer sends here any more
      startupProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
        failureThreshold: 2
      resources: {{- toYaml (index .Values $part).resources | nindent 8 }}
      volumeMounts:
        - name: secret
          mountPath: /run/secrets/turnwise
          readOnly: true
        - name: tmp
          mountPath: /tmp
        {{- if .Values.sources }}
        - name: sources
          mountPath: /etc/turnwise
          readOnly: true
        {{- end }}
  volumes:
    - name: secret
      secret:
        secretName: {{ .Values.secret }}
        defaultMode: 0440
    - name: tmp
      emptyDir:
        sizeLimit: 1Gi
    {{- if .Values.sources }}
    - name: sources
      configMap:
        name: {{ .Release.Name }}-sources
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          app.kubernetes.io/instance: {{ .Release.Name }}
          app.kubernetes.io/component: {{ $part }}
{{- end }}
{{- end }}
