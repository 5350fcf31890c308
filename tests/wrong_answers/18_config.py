# 18.1 forgot that the rule is for 256 images
times_the_rule = 2e-3 / 5e-5
