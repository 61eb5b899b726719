-- stays becomes settled: those that lasted long enough, each with the number of the entry into its stage
-- and the stage that counted before.
settled AS (
    SELECT
        stays.*,
        ROW_NUMBER() OVER (
            PARTITION BY stays.lead_id, stays.stage ORDER BY stays.at_second, stays.change_id
        ) AS entry,
        LAG(stays.stage) OVER (
            PARTITION BY stays.lead_id ORDER BY stays.at_second, stays.change_id
        ) AS settled_before
    FROM stays
    WHERE stays.lasted >= {{ times.settling }}
),
-- Leads that are out now, and were for long enough. All others are live: open, qualified or customers.
out_now AS (
    SELECT latest.lead_id
    FROM (
        SELECT
            stays.*,
            ROW_NUMBER() OVER (
                PARTITION BY stays.lead_id ORDER BY stays.at_second DESC, stays.change_id DESC
            ) AS from_the_end
        FROM stays
    ) AS latest
    WHERE latest.from_the_end = 1
      AND latest.stage = '{{ disqualified }}'
      AND latest.lasted >= {{ times.settling }}
)
