"""What every page shows."""

def desk(request):
    return {}
