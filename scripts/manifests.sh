#!/usr/bin/env bash
# Checks the chart, with few settings and with all, and renders it into deploy/kubernetes for those who use plain manifests.
# Where Helm cannot be fetched it says so and changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
if ! GOBIN=$tools go install helm.sh/helm/v3/cmd/helm@v3.22.0; then
	echo "SKIPPED: Helm cannot be fetched from the Go module proxy; the chart is not checked"
	exit 0
fi
chart=deploy/helm/turnwise
full=(--set 'ingest.replicas=2,ingress.enabled=true,ingress.className=nginx,firstAdmin=you@example.org,env.TURNWISE_LOG_LEVEL=debug'
	--set 'metricsFrom.team=monitoring,imagePullSecrets[0].name=registry,nodeSelector.disk=ssd' --set-string 'sources=sources: []')
"$tools/helm" lint --strict --quiet "$chart"
"$tools/helm" lint --strict --quiet "${full[@]}" "$chart"
if "$tools/helm" template turnwise "${full[@]}" "$chart" | grep -c '^kind: ' | grep -qvx 7; then
	echo "the chart with all settings has other than 7 objects" >&2
	exit 1
fi
mkdir -p deploy/kubernetes
{
	cat <<'EOF'
# Turnwise on Kubernetes without Helm; rendered from deploy/helm/turnwise by scripts/manifests.sh. Build the image from the Dockerfile, put it
# where the cluster finds it, set its name and TURNWISE_URL below, then:
#
#   kubectl create namespace turnwise
#   kubectl -n turnwise create secret generic turnwise --from-literal=database-url='postgres://…' --from-literal=secret-key="$(openssl rand -hex 32)"
#   kubectl -n turnwise apply -f turnwise.yaml
#   kubectl -n turnwise exec -it deploy/turnwise-serve -- /turnwise user add you@example.org --role admin
EOF
	"$tools/helm" template turnwise "$chart" | grep -v 'managed-by: Helm\|^# Source:\|^ *$'
} >deploy/kubernetes/turnwise.yaml
