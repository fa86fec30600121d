"""What a run will take and cost, worked out before a GPU is taken. Pure arithmetic, no torch; only `stage` does I/O.

work       sequences, steps and tokens of a training
tensors    what a model's files hold, from their headers or, where those cannot be read, from config.json
model      which of these weights multiply, and which get adapters
memory     bytes that training needs, part by part
duration   seconds, low and high, and what they cost
figures    all of it as the contract's Estimate, with the assumptions in sentences
limits     what does not fit or is over the budget, and what would fit
"""
