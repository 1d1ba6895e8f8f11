def write_pages(*a):
    return []
