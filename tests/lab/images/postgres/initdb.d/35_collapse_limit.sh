psql -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c 'alter system set join_collapse_limit = 12; alter system set from_collapse_limit = 12'
