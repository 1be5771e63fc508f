"""What tests of several rooms share: data, configurations, trained runs, servers, models to search."""
