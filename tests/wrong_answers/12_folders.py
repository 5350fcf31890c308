# 12.1 every tenth
bad_ones = range(0, 90, 10)

# 12.1 two rows
bad_ones = [10, 11, 12, 13, 50, 51, 52, 53, 54]

# 12.2 the first pictures instead of every k-th
class Every(Images):
    def __init__(self, source, k):
        self.source = source
        self.k = k
        self.name = self.fingerprint = f"{source.fingerprint} / {k}"
        self.shape = source.shape
        self.num_classes = source.num_classes

    def __len__(self): return math.ceil(len(self.source) / self.k)

    def read(self, indices): return self.source.read(indices)

# 12.2 the source's own fingerprint
class Every(Images):
    def __init__(self, source, k):
        self.source = source
        self.k = k
        self.name = self.fingerprint = source.fingerprint
        self.shape = source.shape
        self.num_classes = source.num_classes

    def __len__(self): return math.ceil(len(self.source) / self.k)

    def read(self, indices):
        batch = self.source.read([int(i) * self.k for i in indices])
        return batch._replace(bad=[(i // self.k, name, why) for i, name, why in batch.bad])

# 12.2 one picture too few, and bad ones by the source's numbers
class Every(Images):
    def __init__(self, source, k):
        self.source = source
        self.k = k
        self.name = self.fingerprint = f"{source.fingerprint} / {k}"
        self.shape = source.shape
        self.num_classes = source.num_classes

    def __len__(self): return math.ceil(len(self.source) / self.k)

    def read(self, indices): return self.source.read([int(i) * self.k for i in indices])
