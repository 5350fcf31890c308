# 25.1 a coat is a coat
times_as_far = 1
