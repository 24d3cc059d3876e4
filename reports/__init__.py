"""What people see: the Streamlit app, the self-contained HTML report and the figures, all read from the published warehouse."""
