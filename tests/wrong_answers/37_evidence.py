# 37.1 the width grows so, not r
same_blur_at_256 = 256 / 8
