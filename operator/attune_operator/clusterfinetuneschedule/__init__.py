"""From a ClusterFineTuneSchedule to requests to FineTuneSchedules: observe → plan → record → ask → summarize."""
