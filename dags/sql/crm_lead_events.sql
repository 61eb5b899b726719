-- One row for each stage that a lead entered, at the first time it entered it: a lead that goes
-- MQL -> Disqualified -> MQL makes one lead_qualified for MQL, not two.
--
-- The columns' names say where the values go (`"user.email"`); lead_id, stage, previous_stage and occurred_at
-- steer the sending. Works on SQLite and PostgreSQL; parameters are written :since for SQLite, %(since)s for psycopg.
--
-- :since, :until  UTC, as in changed_at ("2026-01-31 08:00:00", a T is fine); NULL or '' for no bound.
SELECT
    entered.lead_id,
    entered.to_stage                                                            AS stage,
    entered.from_stage                                                          AS previous_stage,
    entered.changed_at                                                          AS occurred_at,
    lead.value                                                                  AS "event.value",
    lead.currency                                                               AS "event.currency",
    lead.score                                                                  AS "event.properties.lead_score_after",
    CASE WHEN entered.to_stage = 'Disqualified' THEN entered.lost_reason END    AS disqualification_reason,
    CASE WHEN entered.to_stage = 'Disqualified' THEN entered.from_stage END     AS disqualification_stage,
    lead.lead_id                                                                AS "user.id",
    lead.email                                                                  AS "user.email",
    lead.phone                                                                  AS "user.phone",
    lead.first_name                                                             AS "user.first_name",
    lead.last_name                                                              AS "user.last_name",
    lead.country                                                                AS "user.country",
    lead.city                                                                   AS "user.city",
    lead.created_at                                                             AS "user.created_at",
    lead.company                                                                AS "user.properties.company",
    lead.ga_client_id                                                           AS "cookies._ga",
    lead.consent_marketing                                                      AS "consent.marketing"
FROM (
    SELECT
        history.*,
        ROW_NUMBER() OVER (
            PARTITION BY history.lead_id, history.to_stage
            ORDER BY history.changed_at, history.id
        ) AS entry
    FROM stage_history AS history
) AS entered
JOIN leads AS lead ON lead.lead_id = entered.lead_id
WHERE entered.entry = 1
  AND (COALESCE(:since, '') = '' OR entered.changed_at >= REPLACE(:since, 'T', ' '))
  AND (COALESCE(:until, '') = '' OR entered.changed_at < REPLACE(:until, 'T', ' '))
ORDER BY entered.changed_at, entered.id
