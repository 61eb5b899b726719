-- moves becomes stays: from the move into a stage to the next move into another one, or until now.
-- A line of the history that does not change the stage is none.
compared AS (
    SELECT
        moves.*,
        LAG(moves.stage) OVER (
            PARTITION BY moves.lead_id ORDER BY moves.at_second, moves.change_id
        ) AS stage_before
    FROM moves
    WHERE moves.at_second < {{ times.until }}
),
stays AS (
    SELECT
        compared.*,
        COALESCE(
            LEAD(compared.at_second) OVER (
                PARTITION BY compared.lead_id ORDER BY compared.at_second, compared.change_id
            ),
            {{ times.until }}
        ) - compared.at_second AS lasted
    FROM compared
    WHERE compared.stage_before IS NULL OR compared.stage_before <> compared.stage
)
