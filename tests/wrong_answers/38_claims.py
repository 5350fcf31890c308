# 38.1 against the other table, not the baseline
per_cent_worse = 100 * (9.40 - 7.73) / 7.73
