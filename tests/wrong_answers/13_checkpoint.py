# 13.1 forgot the half
seconds_between_checkpoints = math.sqrt(30 * 86_400)
