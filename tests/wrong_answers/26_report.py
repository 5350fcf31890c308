# 26.1 the floor is a property of the images
factor = 1.0
