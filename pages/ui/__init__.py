"""What pages share. Together with the pages the only code that imports streamlit."""
