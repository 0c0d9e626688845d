"""How stages ask models for objects: requests in, checked objects out, replies and failures kept, money limited."""
