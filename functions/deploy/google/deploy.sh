#!/bin/sh
# Google Cloud: four functions behind IAM, and Cloud Scheduler jobs that call them.
#   PROJECT=my-project REGION=asia-southeast2 SUPABASE_URL=https://… functions/deploy/google/deploy.sh
# Before: secrets meterledger-service-role-key and meterledger-alert-url in Secret Manager, and a
# service account meterledger-scheduler. Run again after a change: everything is replaced in place.
set -eu
: "${PROJECT:?}" "${REGION:?}" "${SUPABASE_URL:?}"
SCHEDULE=${SCHEDULE:-0 * * * *}
account="meterledger-scheduler@$PROJECT.iam.gserviceaccount.com"
root=$(cd "$(dirname "$0")/../../.." && pwd)
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cp -R "$root/functions" "$source/functions"
cp "$root/functions/requirements.txt" "$source/requirements.txt"

deploy() { # name, schedule; no schedule: a function that is only asked
  name=$1
  function="meterledger-$(printf %s "$name" | tr _ -)"
  gcloud functions deploy "$function" --project="$PROJECT" --region="$REGION" --gen2 \
    --runtime=python312 --trigger-http --no-allow-unauthenticated --entry-point=gcf \
    --source="$source" --memory=256Mi --timeout=120s --max-instances=1 \
    --set-build-env-vars="GOOGLE_FUNCTION_SOURCE=functions/$name/main.py" \
    --set-env-vars="SUPABASE_URL=$SUPABASE_URL,PYTHONPATH=/workspace,METERLEDGER_TIMEOUT_SECONDS=115" \
    --set-secrets="SUPABASE_SERVICE_ROLE_KEY=meterledger-service-role-key:latest,METERLEDGER_ALERT_URL=meterledger-alert-url:latest"
  [ -n "${2:-}" ] || return 0
  gcloud functions add-invoker-policy-binding "$function" --project="$PROJECT" \
    --region="$REGION" --member="serviceAccount:$account"
  url=$(gcloud functions describe "$function" --project="$PROJECT" --region="$REGION" \
    --gen2 --format='value(serviceConfig.uri)')
  verb=create
  if gcloud scheduler jobs describe "$function" --project="$PROJECT" --location="$REGION" \
    >/dev/null 2>&1; then
    verb=update
  fi
  gcloud scheduler jobs "$verb" http "$function" --project="$PROJECT" --location="$REGION" \
    --schedule="$2" --uri="$url" --http-method=POST --oidc-service-account-email="$account" \
    --attempt-deadline=120s --max-retry-attempts=1
}

deploy refresh_readings "$SCHEDULE"
deploy verify_readings "$SCHEDULE"
deploy prune "17 3 * * *"
deploy health
