"""How a model stands distorted faces: what is done to them, how it answers, the record and the page of it."""
