# 34.1 as if times were uniform
share = 0.15

# 34.2 the adaptive form counted as if it cost one evaluation a step
steps = 10, 20, 20
