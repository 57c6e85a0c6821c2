"""Worker side. What `manage.py serve` does: sees that everything is in place, then runs the parts as its children.

ground: the data folder, its lock, the generated secrets, the port. database: reachable and migrated. parts: which
children there are. crew: the children as processes. watch: from their start to their end. guard: ends them should the
supervisor die. banner: what is printed when they answer.
"""
