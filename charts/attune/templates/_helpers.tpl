{{- define "attune.labels" -}}
app.kubernetes.io/name: attune
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
{{- define "attune.selector" -}}
app.kubernetes.io/name: attune
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "attune.fullname" -}}
{{- if eq .Release.Name "attune" }}attune{{ else }}{{ printf "%s-attune" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}
