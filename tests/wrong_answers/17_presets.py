# 17.1 the base is read last
order = ['fashion-gpu', 'fashion']
