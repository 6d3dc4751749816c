{{/* What the pods of all components have in common. */}}

{{- define "gangplank.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{/* Pod security `restricted`, and nothing beside it. Takes a list: root, component. */}}
{{- define "gangplank.pod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
serviceAccountName: {{ include "gangplank.fullname" $root }}-{{ $component }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # So that the process can read keys that are mounted for its group alone.
  fsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
# A node that fails takes one of the replicas.
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: { matchLabels: {{ include "gangplank.selector" . | fromYaml | toJson }} }
{{- end -}}

{{/* The one container. Takes a list: root, component, verb. */}}
{{- define "gangplank.container" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
name: {{ index . 2 }}
image: {{ include "gangplank.image" $root | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: [{{ index . 2 }}, --config, /etc/gangplank/role/{{ index . 2 }}.yaml]
{{- with $values.env }}
env: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
# Alive as long as it can answer: whatever else is amiss, a restart mends nothing.
livenessProbe:
  httpGet: { path: /livez, port: admin }
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 2
  failureThreshold: 1
resources: {{ toYaml $values.resources | nindent 2 }}
{{- end -}}

{{/* Rolls the pods when the role's file changes. Takes a list: root, component, the file. */}}
{{- define "gangplank.podMetadata" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
labels:
  {{- include "gangplank.labels" . | nindent 2 }}
annotations:
  gangplank.dev/config: {{ sha256sum (index . 2) | trunc 16 | quote }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The blocks that all roles' files have. */}}
{{- define "gangplank.blocks" -}}
admin: { listen: {{ printf "%s:%d" .Values.admin.address (int .Values.admin.port) | quote }} }
log: {{ toJson .Values.log }}
{{- end -}}

{{/* Names are looked up wherever the cluster's name server is. */}}
{{- define "gangplank.egressToNames" -}}
- ports: [{ protocol: UDP, port: 53 }, { protocol: TCP, port: 53 }]
{{- end -}}

{{- define "gangplank.egressToApiServer" -}}
{{- $server := .Values.networkPolicy.apiServer -}}
- to:
  {{- range $server.cidrs }}
    - ipBlock: { cidr: {{ quote . }} }
  {{- end }}
  ports:
  {{- range $server.ports }}
    - { protocol: TCP, port: {{ int . }} }
  {{- end }}
{{- end -}}

{{- define "gangplank.ingressOfMetrics" -}}
{{- with .Values.networkPolicy.metricsFrom }}
- from: {{ toYaml . | nindent 4 }}
  ports: [{ protocol: TCP, port: admin }]
{{- end }}
{{- end -}}
