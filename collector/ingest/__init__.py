"""Usage facts taken in: screened, charged once, summed up, kept as long as they should be."""
