"""From a FineTuneSchedule to the FineTuneJobs that it makes: observe → plan → build → apply → summarize."""
