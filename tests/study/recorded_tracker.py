"""A tracker that keeps what it is told."""


class Recorded:
    place = "here"

    def __init__(self, card):
        self.card, self.points, self.summary = card, [], None

    def log(self, point):
        self.points.append(point)

    def finish(self, summary):
        self.summary = summary
