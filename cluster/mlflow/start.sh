#!/bin/sh
# Secrets from files into the environment of this process alone: not into arguments, which everybody on a host can read.
set -eu
password="$(cat /run/secrets/database_password)"
export MLFLOW_BACKEND_STORE_URI="postgresql+psycopg2://mlflow:$password@database:5432/mlflow"
export MLFLOW_FLASK_SERVER_SECRET_KEY="$(cat /run/secrets/session_key)"
export MLFLOW_AUTH_ADMIN_PASSWORD="$(cat /run/secrets/admin_password)"   # read at the first start only
export MLFLOW_AUTH_CONFIG_PATH="$HOME/auth.ini"
umask 077
cat > "$MLFLOW_AUTH_CONFIG_PATH" <<END
[mlflow]
default_permission = READ
database_uri = $MLFLOW_BACKEND_STORE_URI
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
grant_default_workspace_access = false
END
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers 4
