-- stays becomes settled: the stages to be sent, each with the stage that counted before. docs/recipes/rules.md says
-- the rule: who was disqualified is sent as such only while it is so.
placed AS (
    SELECT
        stays.*,
        LAST_VALUE(stays.stage) OVER (
            PARTITION BY stays.lead_id ORDER BY stays.at_second, stays.change_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS stage_now
    FROM stays
),
lasting AS (
    SELECT
        placed.*,
        LAG(placed.stage) OVER (
            PARTITION BY placed.lead_id ORDER BY placed.at_second, placed.change_id
        ) AS settled_before,
        LAST_VALUE(placed.stage) OVER (
            PARTITION BY placed.lead_id ORDER BY placed.at_second, placed.change_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS settled_last
    FROM placed
    WHERE placed.lasted >= {{ times.settling }}
),
-- What comes back after something short was never left.
entries AS (
    SELECT
        lasting.*,
        lasting.stage_now = '{{ disqualified }}' AND lasting.settled_last = '{{ disqualified }}' AS is_out,
        ROW_NUMBER() OVER (
            PARTITION BY lasting.lead_id, lasting.stage ORDER BY lasting.at_second, lasting.change_id
        ) AS entry,
        COUNT(*) OVER (PARTITION BY lasting.lead_id, lasting.stage) AS entries_of_all
    FROM lasting
    WHERE lasting.settled_before IS NULL OR lasting.settled_before <> lasting.stage
),
-- Leads that are out: the last stage that counted is that of lost leads, and so is the one that they are in. All others
-- are live: open, qualified or customers.
out_now AS (SELECT DISTINCT entries.lead_id FROM entries WHERE entries.is_out),
settled AS (
    SELECT
        entries.*,
        CASE
            WHEN entries.stage = '{{ disqualified }}' AND NOT entries.is_out THEN '(no longer disqualified)'
            ELSE entries.stage
        END AS counts_as
    FROM entries
    -- The first entry into a stage; of disqualifications the last one, for those before it were taken back.
    WHERE (entries.stage <> '{{ disqualified }}' AND entries.entry = 1)
       OR (entries.stage = '{{ disqualified }}' AND entries.entry = entries.entries_of_all)
)
