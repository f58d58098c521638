select
    cast(ordered_at as date) as ordered_on,
    count(*) as orders,
    sum(items * price_cents) as revenue_cents
from {{ ref('stg_orders') }}
group by 1
