"""Departure delays of the flights that left New York in 2013, from five tables to one page."""
