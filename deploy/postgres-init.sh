#!/bin/bash
# Runs once, on an empty data folder: Label Studio's own role and database.
set -euo pipefail
psql --set ON_ERROR_STOP=1 --set password="$LABELSTUDIO_DATABASE_PASSWORD" \
     --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE labelstudio LOGIN PASSWORD :'password';
CREATE DATABASE labelstudio OWNER labelstudio;
SQL
