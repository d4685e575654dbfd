"""The pages: citizen, partner, researcher, municipality. All HTML of the house lives here."""
