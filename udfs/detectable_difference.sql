-- Smallest paired difference in shares that n statements find with 80 % power at the 5 % level (Connor 1987, solved for it).
create or replace macro detectable_difference(n, discordant := 0.3) as (
    -- n = (1.96 sqrt(discordant) + 0.84 sqrt(discordant - d^2))^2 / d^2; 0.708326 = 0.841621^2, 3.133133 = 1.959964^2 - 0.841621^2
    1.959964 * sqrt(n * discordant) + sqrt(greatest(3.841459 * n * discordant - (n + 0.708326) * 3.133133 * discordant, 0))
) / (n + 0.708326)
