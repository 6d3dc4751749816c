{{/* What objects of a release are called, and how they are found. */}}

{{- define "gangplank.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* By which a Deployment knows its pods. Takes a list: root, component. It never changes between versions. */}}
{{- define "gangplank.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* On everything. `managed-by` is Helm's, which is not `gangplank`: the controller takes only the latter for its own. */}}
{{- define "gangplank.labels" -}}
{{- $root := index . 0 -}}
{{ include "gangplank.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name, namespace and labels of an object of a component. */}}
{{- define "gangplank.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "gangplank.fullname" $root }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "gangplank.labels" . | nindent 2 }}
{{- end -}}

{{/* The same without a namespace. */}}
{{- define "gangplank.clusterMetadata" -}}
name: {{ include "gangplank.fullname" (index . 0) }}-{{ index . 1 }}
labels:
  {{- include "gangplank.labels" . | nindent 2 }}
{{- end -}}

{{/* The ClusterRole and the account of a component that a binding joins. */}}
{{- define "gangplank.joined" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s-%s" (include "gangplank.fullname" $root) (index . 1) -}}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: {{ index . 2 }}, name: {{ $name }} }
subjects:
  - { kind: ServiceAccount, name: {{ $name }}, namespace: {{ $root.Release.Namespace }} }
{{- end -}}
