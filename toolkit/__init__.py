"""meterledger: one source of truth for a prepaid-electricity app on Supabase."""

__version__ = "0.1.0"
