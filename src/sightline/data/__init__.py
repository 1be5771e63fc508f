"""Files to records, records to token ids, token ids to batches."""
