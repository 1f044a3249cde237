// Sources of the room follow.
