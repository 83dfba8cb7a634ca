"""Execute: walk the plan, run steps, hand their outputs over, record what happened."""
