select
    1 as order_id,
    2 as items,
    150 as price_cents,
    timestamp '2026-01-01 10:00:00' as ordered_at
