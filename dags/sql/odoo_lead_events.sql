-- Odoo's own history of crm.lead: each change of a tracked field is a mail_tracking_value of a mail_message. Stages
-- are ids, because names are translated and renamed; a lost lead, which keeps its stage, is in the stage "lost".
{%- import "sql/parts/times.sql" as times with context %}
{%- set disqualified = "lost" %}
{#- Odoo 16 and earlier: "field". #}
{%- set tracked_field = "field_id" %}
WITH tracked AS (
    SELECT
        message.res_id               AS lead_id,
        field.name                   AS field_name,
        message.date                 AS changed_at,
        tracking.id                  AS change_id,
        tracking.old_value_integer   AS old_value,
        tracking.new_value_integer   AS new_value,
        ROW_NUMBER() OVER (
            PARTITION BY message.res_id, field.name ORDER BY message.date, tracking.id
        )                            AS number
    FROM mail_tracking_value AS tracking
    JOIN mail_message AS message ON message.id = tracking.mail_message_id
    JOIN ir_model_fields AS field ON field.id = tracking.{{ tracked_field }}
    WHERE message.model = 'crm.lead'
      AND field.model = 'crm.lead'
      AND field.name IN ('stage_id', 'active')
      -- When leads are merged, the messages of those that are deleted move to the one that stays, and get a subject.
      AND COALESCE(message.subject, '') = ''
),
-- How a lead was created is not tracked: it is what the first change found, or what is still so.
known AS (
    SELECT
        lead.id                                                                      AS lead_id,
        lead.create_date                                                             AS changed_at,
        {{ times.seconds("lead.create_date") }}                                      AS at_second,
        0                                                                            AS change_id,
        -- 0 is Odoo's "no stage".
        CASE
            WHEN stage.lead_id IS NOT NULL THEN NULLIF(stage.old_value, 0)
            ELSE lead.stage_id
        END                                                                          AS stage_id,
        CASE
            WHEN activity.lead_id IS NOT NULL THEN COALESCE(activity.old_value, 0)
            WHEN lead.active THEN 1
            ELSE 0
        END                                                                          AS active
    FROM crm_lead AS lead
    LEFT JOIN tracked AS stage
        ON stage.lead_id = lead.id AND stage.field_name = 'stage_id' AND stage.number = 1
    LEFT JOIN tracked AS activity
        ON activity.lead_id = lead.id AND activity.field_name = 'active' AND activity.number = 1
    UNION ALL
    SELECT
        tracked.lead_id,
        tracked.changed_at,
        {{ times.seconds("tracked.changed_at") }},
        tracked.change_id,
        CASE WHEN tracked.field_name = 'stage_id' THEN NULLIF(tracked.new_value, 0) END,
        CASE WHEN tracked.field_name = 'active' THEN COALESCE(tracked.new_value, 0) END
    FROM tracked
),
-- Of two fields each change tells one. The other is what it was: the only value with the same count. Ordered by whole
-- seconds, because those of messages are, and create_date has fractions.
counted AS (
    SELECT
        known.*,
        COUNT(known.stage_id) OVER (
            PARTITION BY known.lead_id ORDER BY known.at_second, known.change_id ROWS UNBOUNDED PRECEDING
        ) AS stages_known,
        COUNT(known.active) OVER (
            PARTITION BY known.lead_id ORDER BY known.at_second, known.change_id ROWS UNBOUNDED PRECEDING
        ) AS actives_known
    FROM known
),
filled AS (
    SELECT
        counted.lead_id,
        counted.changed_at,
        counted.at_second,
        counted.change_id,
        MAX(counted.stage_id) OVER (PARTITION BY counted.lead_id, counted.stages_known)  AS stage_id,
        MAX(counted.active) OVER (PARTITION BY counted.lead_id, counted.actives_known)   AS active
    FROM counted
),
moves AS (
    SELECT
        filled.lead_id,
        CASE WHEN filled.active = 0 THEN '{{ disqualified }}' ELSE CAST(filled.stage_id AS VARCHAR(20)) END AS stage,
        filled.changed_at,
        filled.at_second,
        filled.change_id
    FROM filled
    WHERE filled.active = 0 OR filled.stage_id IS NOT NULL
),
{% include "sql/parts/stays.sql" %},
{% include "sql/parts/settled.sql" %},
live AS (
    SELECT lead.email_normalized AS email, lead.phone_sanitized AS phone
    FROM crm_lead AS lead
    LEFT JOIN out_now ON out_now.lead_id = lead.id
    -- Archived with a probability: put aside, and not lost.
    WHERE out_now.lead_id IS NULL OR lead.probability <> 0
),
live_emails AS (SELECT DISTINCT live.email FROM live WHERE live.email <> ''),
live_phones AS (SELECT DISTINCT live.phone FROM live WHERE live.phone <> '')
SELECT
    settled.lead_id,
    settled.counts_as                                     AS stage,
    settled.settled_before                                AS previous_stage,
    settled.changed_at                                    AS occurred_at,
    lead.expected_revenue                                 AS event__value,
    currency.name                                         AS event__currency,
    CASE
        WHEN settled.stage <> '{{ disqualified }}' THEN NULL
        WHEN lead.lost_reason_id IS NULL THEN 'none'
        WHEN live_emails.email IS NOT NULL OR live_phones.phone IS NOT NULL
            THEN CAST(lead.lost_reason_id AS VARCHAR(20)) || ' (owner has a live lead)'
        ELSE CAST(lead.lost_reason_id AS VARCHAR(20))
    END                                                   AS disqualification_reason,
    CASE WHEN settled.stage = '{{ disqualified }}' THEN settled.settled_before END AS disqualification_stage,
    lead.id                                               AS user__id,
    lead.email_normalized                                 AS user__email,
    COALESCE(lead.phone_sanitized, lead.phone)            AS user__phone,
    country.code                                          AS user__country,
    lead.city                                             AS user__city,
    lead.zip                                              AS user__postal_code,
    lead.create_date                                      AS user__created_at
FROM settled
JOIN crm_lead AS lead ON lead.id = settled.lead_id
LEFT JOIN live_emails ON live_emails.email = lead.email_normalized
LEFT JOIN live_phones ON live_phones.phone = lead.phone_sanitized
LEFT JOIN res_country AS country ON country.id = lead.country_id
LEFT JOIN res_company AS company ON company.id = lead.company_id
LEFT JOIN res_currency AS currency ON currency.id = company.currency_id
WHERE settled.at_second >= {{ times.since }}
  -- Lost and nothing else: neither restored since nor merely archived.
  AND (settled.counts_as <> '{{ disqualified }}' OR (NOT lead.active AND lead.probability = 0))
ORDER BY settled.at_second, settled.change_id
